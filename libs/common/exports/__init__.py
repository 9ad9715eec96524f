"""The export room: background jobs that write what a service holds into files. A service brings its sources."""
