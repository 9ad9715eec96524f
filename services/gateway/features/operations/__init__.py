"""Operations: commands that were accepted and what became of them."""
