"""Several hosts on one machine: network namespaces, Debian's Redis and Sentinel with TLS, real bots and workers.

`make test-hosts` runs them; they need root, iproute2, redis-server and redis-sentinel.
"""
