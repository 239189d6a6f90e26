"""The harbour's front door: pages from disk, ships from the back end."""

import os
from urllib.request import urlopen

import bottle

API = os.environ.get("API", "http://api:3000")
PAGES = os.environ.get("PAGES", "/srv/web")


@bottle.get("/api/ships")
def ships():
    bottle.response.content_type = "text/plain"
    return urlopen(API).read()


@bottle.get("/")
@bottle.get("/<page>.html")
def page(page="index"):
    return bottle.static_file(f"{page}.html", root=PAGES)


if __name__ == "__main__":
    bottle.run(host="0.0.0.0", port=8080, server="waitress")
