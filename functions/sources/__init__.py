"""Events from EventBridge: orders and dropped files."""
