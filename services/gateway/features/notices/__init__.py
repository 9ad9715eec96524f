"""What people are told of their own accounts: noted with what happened, gathered, and sent by the notifications service."""
