"""What an audit entry is, what each event says in one, and the words that find it. Pure."""
