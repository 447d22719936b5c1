"""The outermost layer: the `jifen` command, its wiring and the embedded PostgreSQL.

May import every other package; nothing may import it.
"""
