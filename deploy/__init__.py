"""What the platform is deployed with, and the scripts around it."""
