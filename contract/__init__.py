"""What crosses between the bots and the workers: records, their wire form, names in Redis.

This package must depend on nothing but the standard library and nothing else of Fennel.
"""
