# SPDX-License-Identifier: Apache-2.0
"""A small shop to look at with uncoil: Flask, Jinja2, SQLite, one expensive login.

    DEMO_DB=/tmp/shop.db gunicorn --chdir demo app:app
"""

import difflib
import hashlib
import os
import random
import sqlite3
import statistics

from flask import Flask, g, jsonify, render_template, request
from jinja2 import DictLoader

DB = os.environ["DEMO_DB"]
PRODUCTS = 4000
ADJECTIVES = ["Red", "Quiet", "Folding", "Solar", "Tiny", "Sturdy", "Nordic", "Smart", "Plain"]
NOUNS = ["Lamp", "Chair", "Kettle", "Tent", "Radio", "Bicycle", "Table", "Clock", "Jacket"]
PLACES = ["Kitchen", "Garden", "Office", "Workshop", "Balcony", "Cellar"]
SALT, ROUNDS = b"demo-salt", 15_000

INDEX = """<!doctype html><title>Shop</title><h1>{{ total }} products</h1>
<form action="/search"><input name="q"></form>
<table>{% for p in products %}
<tr class="{{ loop.cycle('odd', 'even') }}"><td>{{ p.name|e }}<td>{{ p.place|upper }}
<td>{{ "%.2f"|format(p.price) }}{% if p.stock < 5 %} <em>only {{ p.stock }} left</em>{% endif %}
{% endfor %}</table>"""

app = Flask(__name__)
app.jinja_loader = DictLoader({"index.html": INDEX})


def make_db():
    """Once, in the master, before the workers are forked."""
    rng = random.Random(17)
    with sqlite3.connect(DB) as db:
        db.execute("CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT, place TEXT,"
                   " price REAL, stock INTEGER)")
        db.executemany(
            "INSERT INTO product (name, place, price, stock) VALUES (?, ?, ?, ?)",
            [(f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)} {rng.randrange(100, 999)}",
              rng.choice(PLACES), round(rng.uniform(3, 400), 2), rng.randrange(60))
             for _ in range(PRODUCTS)])
    db.close()


if not os.path.exists(DB):
    make_db()


def database():
    if "db" not in g:
        g.db = sqlite3.connect(DB)
        g.db.row_factory = sqlite3.Row
    return g.db


@app.teardown_appcontext
def close_database(_error):
    if "db" in g:
        g.db.close()


@app.get("/")
def index():
    page = request.args.get("page", 0, type=int)
    products = database().execute("SELECT * FROM product ORDER BY name LIMIT 120 OFFSET ?",
                                  (page * 120,)).fetchall()
    return render_template("index.html", products=products, total=PRODUCTS)


def score(query, row):
    """How well a product's name answers a query, 0 to 1."""
    words = row["name"].lower().split()
    best = max(difflib.SequenceMatcher(None, query, word).ratio() for word in words)
    return best + (0.1 if row["stock"] else 0)


@app.get("/search")
def search():
    query = request.args.get("q", "").lower()
    rows = database().execute("SELECT * FROM product WHERE name LIKE ? LIMIT 200",
                              (f"%{query[:2]}%",)).fetchall()
    ranked = sorted(rows, key=lambda row: score(query, row), reverse=True)
    return jsonify([{"name": row["name"], "price": row["price"]} for row in ranked[:20]])


def summarize(prices):
    return {"count": len(prices), "mean": round(statistics.fmean(prices), 2),
            "median": statistics.median(prices), "stdev": round(statistics.pstdev(prices), 2)}


@app.get("/report")
def report():
    by_place = {}
    for place, price in database().execute("SELECT place, price FROM product WHERE stock > 0"):
        by_place.setdefault(place, []).append(price)
    return jsonify({place: summarize(prices) for place, prices in sorted(by_place.items())})


def hash_password(password):
    return hashlib.pbkdf2_hmac("sha256", password.encode(), SALT, ROUNDS)


USERS = {"ada": hash_password("lovelace")}


@app.get("/login")
def login():
    auth = request.authorization
    if not auth or USERS.get(auth.username) != hash_password(auth.password):
        return "no\n", 401, {"WWW-Authenticate": "Basic"}
    return f"welcome {auth.username}\n"
