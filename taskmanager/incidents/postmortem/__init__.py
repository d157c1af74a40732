"""The post-mortem of an incident: a draft whose times and numbers come from what recorded them."""
