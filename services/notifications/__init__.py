"""Tells administrators what needs them: notifications and alerts."""
