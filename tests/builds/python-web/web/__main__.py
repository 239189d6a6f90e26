"""Serve the conversion; --reload restarts on every change of the source."""

import sys

import bottle

from .convert import fahrenheit


@bottle.get("/<celsius:float>")
def page(celsius):
    return f"{fahrenheit(celsius):.1f}\n"


bottle.run(host="0.0.0.0", port=8080, server="waitress", reloader="--reload" in sys.argv)
