"""What each write does, and which event it leaves. Everything here happens in the caller's transaction."""
