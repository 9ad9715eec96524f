"""The endpoints of OAuth 2.0: tokens, what is known of one, taking one back, and what describes them."""
