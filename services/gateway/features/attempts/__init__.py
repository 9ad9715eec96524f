"""Failed sign-ins, counted by account and place, and the locks that follow from them."""
