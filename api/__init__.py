"""The HTTP contract (API.md): Flask, flask-smorest and marshmallow, and nothing of the domain.

Imports `ledger` and `projections`; never `scheduler`, whose job runner is handed to
`create_app` from outside.

Read in this order: `app` (what is put together), `till` (endpoints), `blueprint` (what every
endpoint has), `fields` and `schemas` (what may come in), `problems` (how a refusal looks).
"""
