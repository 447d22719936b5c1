-- The role that every connection of the service takes: it reads and writes, but has no right to
-- UPDATE, DELETE or TRUNCATE the log. No numbered migration, as it depends on the server and not
-- only on the database: it runs after each migration, and changes nothing when nothing changed.

DO $$
DECLARE
    attempts int := 0;
BEGIN
    -- Roles are the whole cluster's: another database may be migrating at this very moment.
    LOOP
        BEGIN
            attempts := attempts + 1;
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'jifen_writer') THEN
                CREATE ROLE jifen_writer NOLOGIN;
            END IF;
            IF NOT EXISTS (
                SELECT FROM pg_auth_members
                WHERE roleid = 'jifen_writer'::regrole AND member = current_user::regrole
                  AND coalesce((to_jsonb(pg_auth_members) ->> 'set_option')::boolean, true)
            ) THEN
                EXECUTE format('GRANT jifen_writer TO %I', current_user);
            END IF;
            EXIT;
        EXCEPTION
            WHEN duplicate_object OR unique_violation OR internal_error THEN
                IF attempts = 20 THEN
                    RAISE;
                END IF;
                PERFORM pg_sleep(0.05);
        END;
    END LOOP;

    EXECUTE format('GRANT USAGE ON SCHEMA %I TO jifen_writer', current_schema());
    EXECUTE format(
        'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO jifen_writer',
        current_schema());
    EXECUTE format(
        'GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO jifen_writer', current_schema());
    REVOKE UPDATE, DELETE, TRUNCATE ON events FROM jifen_writer;
    REVOKE INSERT, DELETE ON log_head FROM jifen_writer;
    REVOKE INSERT, UPDATE, DELETE ON migrations FROM jifen_writer;

    -- For the views' schemas. Last: connections take the role where it has this right.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO jifen_writer', current_database());
    -- A GRANT by somebody who may give nothing is only a warning.
    IF NOT has_database_privilege('jifen_writer', current_database(), 'CREATE') THEN
        RAISE insufficient_privilege USING MESSAGE = 'the user does not own the database';
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        -- No right to make the role, or to give it what it needs: then the owner itself goes
        -- without the right to change the log.
        RAISE NOTICE 'jifen_writer is not used: %', SQLERRM;
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON events FROM %I', current_user);
END
$$;
