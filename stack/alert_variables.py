"""The variables that say who gets alerts, beside the incident receiver."""

# Each with what it is for.
VARIABLES = {
    "ALERT_EMAIL_TO": "addresses that get each alert, commas between them; needs ALERT_EMAIL_FROM and SMTP_HOST",
    "ALERT_EMAIL_FROM": "the sender's address",
    "SMTP_HOST": "the mail server",
    "SMTP_PORT": "its port (default: 587)",
    "SMTP_USER": "whom to sign in as; needs SMTP_PASSWORD_FILE",
    "SMTP_PASSWORD_FILE": "a file that holds the password alone",
    "SMTP_TLS": "required (default) or off, for a mail server on the same machine",
    "ALERT_SLACK_URL": "a Slack incoming webhook, or what understands the same, such as Mattermost",
    "ALERT_SLACK_URL_FILE": "a file that holds it, since it is a secret",
    "ALERT_WEBHOOK_URL": "gets each alert as Alertmanager's JSON",
    "ALERT_INCIDENTS_URL": "the incident receiver (default: http://incidents:9095/alerts)",
    "ALERT_INCIDENTS_KEY_FILE": "a file that holds the key it asks for",
    "ALERT_LINKS_URL": "what comes before docs/runbooks/… in notifications, such as the repository's web pages",
    "ALERT_DASHBOARDS_URL": "what comes before /d/… in notifications: Grafana's address",
}
FILES = ("SMTP_PASSWORD_FILE", "ALERT_SLACK_URL_FILE", "ALERT_INCIDENTS_KEY_FILE")
