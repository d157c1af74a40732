"""Who may call: API keys and the web pages of other origins; and what browsers are told not to do."""
