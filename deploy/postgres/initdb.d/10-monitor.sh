#!/bin/sh
# Runs once, when the volume is new: the role that the metrics exporter uses. It reads statistics and nothing else.
# The roles and schemas of the services are made by `python -m services prepare`.
set -eu

psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --set=password="$REEVE_DB_PASSWORD_MONITOR" \
    --username=postgres --dbname=postgres <<'SQL'
CREATE ROLE reeve_monitor LOGIN CONNECTION LIMIT 5 IN ROLE pg_monitor PASSWORD :'password';
SQL
