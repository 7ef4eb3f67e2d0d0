"""Tools that run on a developer's computer (CPython 3.11 or later). Nothing here is loaded on the charger."""
