"""What stands in for compiled parts of other libraries, used only where they have none."""
