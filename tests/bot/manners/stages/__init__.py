"""The stages: console, the made-up chat, Slack, Lark, WeCom, the web page."""
