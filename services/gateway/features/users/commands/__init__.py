"""What is done to administrators' accounts, and by what right."""
