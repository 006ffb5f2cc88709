"""Backup and restore: one consistent copy of a deployment in a folder, in a form both databases take.

`take` writes it beside a running server, `restore` puts it into a new home and an empty database.
"""
