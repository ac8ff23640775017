"""Messages to people (`[notify]`), sent by apprise from threads of their own. Never on an order's way."""

from portfoliod.notifications.notifications import Notifications, services

__all__ = ["Notifications", "services"]
