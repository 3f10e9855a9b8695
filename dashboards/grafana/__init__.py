"""The Grafana dashboards: each module is one, `python -m dashboards.grafana` writes them as JSON."""
