"""The statements that read a book: totals, branches, leaves, positions, rows. Texts come from migrations only.

A book is a tree: 256 positions are a leaf, 256 leaves a branch (kit/0003_pre_digests.sql, 0006_pre_digest_tree.sql).
So the total up to any position costs a few branches, the leaves of the begun branch and the rows of the begun leaf,
however large the book is; and each level down asks only for what differed above it.

Sums are of any size: each value fits into 64 bits, a year of them need not. They are read with `whole`.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from tieout.contracts.agreement import BEFORE_ALL, BRANCH_BITS, LEAF_BITS

BRANCH = LEAF_BITS + BRANCH_BITS  # Positions per branch, as bits.
LEAF_LAST = (1 << LEAF_BITS) - 1
HASH_MODULUS = (1 << 63) - 1
ROW_WEIGHT = 1_000_003  # So that a row of zeros is seen among the hashes of positions.

Sums = dict[str, tuple[int, int, int]]  # Currency -> rows, a, b.


class Book:
    """One entry of digest_book with the statements that read it."""

    def __init__(self, row: Any) -> None:
        self.name: str = row["book"]
        self.measure: int = row["measure"]
        self.table: str = row["tab"]
        self._place, self._line = row["position"], row["line"]
        self._a, self._b, self._where = row["a"], row["b"], row["condition"]
        self._tab = '"' + self.table.replace('"', '""') + '"'
        self._value = f"row_hash({self._place}, ({self._line})::bigint, ({self._a})::bigint, ({self._b})::bigint)"
        self.levels = self._levels()
        self.positions = self._positions()
        self.highest = self._highest()
        currency: str = row["currency"]
        self.knows_currency = bool(currency)
        self.rows = self._rows(row["chain"], row["order_no"], currency or "''")
        self.touched = self._touched()
        self.entries = self._entries()
        self.sums = f"""
            SELECT currency, sum(n)::bigint AS n, sum(a)::numeric AS a, sum(b)::numeric AS b
            FROM (SELECT coalesce(({currency or "''"})::text, '') AS currency,
                         count(*) AS n, sum({self._a}) AS a, sum({self._b}) AS b
                  FROM {self._tab} WHERE {self._place} > $1 AND {self._place} <= $2 AND ({self._where}) GROUP BY 1
                  UNION ALL
                  SELECT currency, sum(n), sum(n * a), sum(n * b) FROM correction
                  WHERE book = '{self.name}' AND position > $1 AND position <= $2 GROUP BY 1) x
            GROUP BY 1"""  # noqa: S608
        self.summed: tuple[int, Sums] = (0, {})  # Up to a position; facts stay as they are, so the rest is added.

    def begun_leaf(self, upto: str) -> str:
        """Rows and corrections of the leaf that `upto` stands in, up to it: leaf, n, a, b, h. No row where none."""
        first = f"(({upto}) >> {LEAF_BITS} << {LEAF_BITS})"
        return f"""
            SELECT ({upto}) >> {LEAF_BITS} AS leaf, count(*) AS n, coalesce(sum({self._a}), 0)::numeric AS a,
                   coalesce(sum({self._b}), 0)::numeric AS b, coalesce(sum({self._value}), 0) AS h
            FROM {self._tab} WHERE {self._place} >= {first} AND {self._place} <= ({upto}) AND ({self._where})
            UNION ALL
            SELECT ({upto}) >> {LEAF_BITS}, sum(n), sum(n * a), sum(n * b), sum({_CORRECTED})
            FROM correction WHERE book = '{self.name}' AND position >= {first} AND position <= ({upto})
            HAVING count(*) > 0"""  # noqa: S608

    def _levels(self) -> str:
        """$1 upto, $2 'branches' or 'leaves', $3 branches to look into (leaves only; empty: all)."""
        begun = f"($1::bigint >> {BRANCH})"
        return f"""
            SELECT CASE WHEN $2 = 'leaves' THEN leaf ELSE leaf >> {BRANCH_BITS} END AS leaf,
                   sum(n)::bigint AS n, sum(a)::numeric AS a, sum(b)::numeric AS b, sum(h)::text AS h
            FROM (SELECT branch << {BRANCH_BITS} AS leaf, n, a, b, h FROM digest_branch
                  WHERE book = $4 AND branch < {begun} AND $2 = 'branches'
                  UNION ALL
                  SELECT leaf, n, a, b, h FROM digest
                  WHERE book = $4 AND leaf >= {begun} << {BRANCH_BITS} AND leaf < $1::bigint >> {LEAF_BITS}
                    AND $2 = 'branches'
                  UNION ALL
                  SELECT leaf, n, a, b, h FROM digest
                  WHERE book = $4 AND leaf < $1::bigint >> {LEAF_BITS} AND $2 = 'leaves' AND $3::bigint[] = '{{}}'
                  UNION ALL
                  SELECT d.leaf, n, a, b, h FROM unnest($3::bigint[]) w (branch)
                  JOIN digest d ON d.book = $4 AND d.leaf >= w.branch << {BRANCH_BITS}
                               AND d.leaf < (w.branch + 1) << {BRANCH_BITS}
                  WHERE d.leaf < $1::bigint >> {LEAF_BITS} AND $2 = 'leaves'
                  UNION ALL
                  SELECT leaf, n, a, b, h FROM digest_delta WHERE book = $4 AND leaf < $1::bigint >> {LEAF_BITS}
                    AND ($2 = 'branches' OR $3::bigint[] = '{{}}' OR leaf >> {BRANCH_BITS} = ANY($3::bigint[]))
                  UNION ALL
                  SELECT * FROM ({self.begun_leaf("$1::bigint")}) t
                  WHERE $2 = 'branches' OR $3::bigint[] = '{{}}' OR leaf >> {BRANCH_BITS} = ANY($3::bigint[])) x
            GROUP BY 1 HAVING sum(n) <> 0 OR sum(h) <> 0 OR sum(a) <> 0 OR sum(b) <> 0 ORDER BY 1"""  # noqa: S608

    def _highest(self) -> str:
        """The highest position of its rows. Only the last leaves are looked into, so it costs the same for any book."""
        first = f"(SELECT leaf FROM digest WHERE book = '{self.name}' AND n <> 0 ORDER BY leaf DESC LIMIT 1)"  # noqa: S608
        fresh = f"FROM digest_delta WHERE book = '{self.name}'"
        return f"""
            SELECT '{self.name}'::text AS book, max({self._place}) AS highest
            FROM {self._tab},
                 (SELECT coalesce({first}, (SELECT min(leaf) {fresh})) AS first,
                         greatest({first}, (SELECT max(leaf) {fresh})) AS last) l
            WHERE {self._place} >= l.first << {LEAF_BITS} AND {self._place} <= (l.last << {LEAF_BITS}) + {LEAF_LAST}
              AND ({self._where})"""  # noqa: S608

    def _positions(self) -> str:
        """$1 leaves, $2 upto: per position one number of 63 bits that stands for all of its rows."""
        return f"""
            SELECT position, mod(sum(h) + sum(n) * {ROW_WEIGHT}, {HASH_MODULUS})::bigint AS h FROM (
                SELECT {self._place} AS position, 1 AS n, {self._value} AS h
                FROM unnest($1::bigint[]) l (leaf)
                JOIN {self._tab} ON {self._place} >= l.leaf << {LEAF_BITS}
                                AND {self._place} <= (l.leaf << {LEAF_BITS}) + {LEAF_LAST}
                WHERE {self._place} <= $2 AND ({self._where})
                UNION ALL
                SELECT position, n, {_CORRECTED} FROM unnest($1::bigint[]) l (leaf)
                JOIN correction ON book = '{self.name}'
                     AND position >= l.leaf << {LEAF_BITS} AND position <= (l.leaf << {LEAF_BITS}) + {LEAF_LAST}
                WHERE position <= $2) x
            GROUP BY 1"""  # noqa: S608

    def _rows(self, chain: str, order_no: str, currency: str) -> str:
        """$1 positions, $2 upto, $3 limit, $4 after: the rows as they count, corrections included."""
        return f"""
            SELECT position, line, max(chain) AS chain, max(order_no) AS order_no, max(currency) AS currency,
                   sum(a)::numeric AS a, sum(b)::numeric AS b
            FROM (SELECT {self._place} AS position, ({self._line})::bigint AS line,
                         coalesce(({chain})::text, '') AS chain, coalesce(({order_no})::text, '') AS order_no,
                         coalesce(({currency})::text, '') AS currency,
                         1 AS n, ({self._a})::bigint AS a, ({self._b})::bigint AS b
                  FROM {self._tab} WHERE {self._place} = ANY($1::bigint[]) AND ({self._where})
                  UNION ALL
                  SELECT position, line_no, chain, order_no, currency, n, n * a, n * b FROM correction
                  WHERE book = '{self.name}' AND position = ANY($1::bigint[])) x
            WHERE position <= $2 AND (position > $4 OR $4 = {BEFORE_ALL})
            GROUP BY position, line HAVING sum(n) <> 0 ORDER BY 1, 2 LIMIT $3"""  # noqa: S608

    def _touched(self) -> str:
        """$1 positions: each row of them that a hand touched, with what stood there before the first touch.

        The table's own expressions read the remembered row, as if it still stood there. A deleted row is settled only
        while it is gone: its event may come again (a replay, a stream published anew) and is booked then. One that was
        taken out with its owner's word (trust_touched) should not have been there, and is never put in again; neither
        is one that a correction took out because no event has it.
        """
        return f"""
            SELECT x.position, x.line, x.key, x.last_id, x.was, x.op, x.who, x.at, x.a, x.b,
                   x.counts AND NOT EXISTS (
                       SELECT FROM correction c
                       WHERE c.book = '{self.name}' AND c.position = x.position AND c.line_no = x.line AND c.surplus
                   ) AS counts,
                   x.settled AND NOT (x.gone AND EXISTS (
                       SELECT FROM {self._tab} WHERE {self._place} = x.position AND ({self._line})::bigint = x.line
                   )) AS settled
            FROM (SELECT {self._place} AS position, ({self._line})::bigint AS line, t.key::text AS key, t.last_id,
                         t.was, t.op, t.who, t.at::text AS at,
                         coalesce(({self._where}), false) AND t.was AND NOT (t.gone AND EXISTS (
                             SELECT FROM guard_trusted g WHERE g.kind = 'row' AND g.tab = '{self.table}'
                                                           AND g.name = t.key::text AND g.found::bigint >= t.last_id
                         )) AS counts,
                         coalesce(({self._a})::bigint, 0) AS a, coalesce(({self._b})::bigint, 0) AS b, t.gone,
                         EXISTS (SELECT FROM settled_tamper s
                                 WHERE s.tab = '{self.table}' AND s.key = t.key AND s.tamper_id >= t.last_id) AS settled
                  FROM (SELECT DISTINCT ON (key) key, before IS NOT NULL AS was, coalesce(before, after) AS content,
                               max(id) OVER (PARTITION BY key) AS last_id, op, who, at,
                               first_value(after) OVER (PARTITION BY key ORDER BY id DESC) IS NULL AS gone
                        FROM tamper WHERE tab = '{self.table}' ORDER BY key, id) t
                  CROSS JOIN LATERAL jsonb_populate_record(NULL::{self._tab}, t.content) AS {self._tab}
                  WHERE {self._place} = ANY($1::bigint[])) x"""  # noqa: S608

    def _entries(self) -> str:
        """$1 positions: each value that counts at a place and how often, the table's row and corrections alike.

        Digests add up a hash of each row, so what is taken out must have been put in as it is: a sum does not do.
        """
        return f"""
            SELECT position, line, a, b, sum(n)::bigint AS n
            FROM (SELECT {self._place} AS position, ({self._line})::bigint AS line, 1 AS n,
                         ({self._a})::bigint AS a, ({self._b})::bigint AS b
                  FROM {self._tab} WHERE {self._place} = ANY($1::bigint[]) AND ({self._where})
                  UNION ALL
                  SELECT position, line_no, n, a, b FROM correction
                  WHERE book = '{self.name}' AND position = ANY($1::bigint[])) x
            GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0"""  # noqa: S608


def totals(books: Sequence[Book]) -> str:
    """$1 books, $2 positions: the total of each book up to its position, in one statement and so of one moment."""
    parts = [
        f"SELECT '{book.name}'::text AS book, t.n, t.a, t.b, t.h FROM asked q "  # noqa: S608
        f"CROSS JOIN LATERAL ({book.begun_leaf('q.upto')}) t WHERE q.book = '{book.name}'"
        for book in books
    ]
    return f"""
        WITH asked (book, upto) AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::bigint[]))
        SELECT book, sum(n)::bigint AS n, sum(a)::numeric AS a, sum(b)::numeric AS b, sum(h)::text AS h
        FROM (SELECT q.book, d.n, d.a, d.b, d.h FROM asked q
              JOIN digest_branch d ON d.book = q.book AND d.branch < q.upto >> {BRANCH}
              UNION ALL
              SELECT q.book, d.n, d.a, d.b, d.h FROM asked q
              JOIN digest d ON d.book = q.book AND d.leaf >= q.upto >> {BRANCH} << {BRANCH_BITS}
                           AND d.leaf < q.upto >> {LEAF_BITS}
              UNION ALL
              SELECT q.book, d.n, d.a, d.b, d.h FROM digest_delta d
              JOIN asked q ON q.book = d.book AND d.leaf < q.upto >> {LEAF_BITS}
              UNION ALL
              {" UNION ALL ".join(parts)}) x
        GROUP BY book"""  # noqa: S608


def whole(sum_of_integers: Decimal | int) -> int:
    """Exact, however long: asyncpg reads a numeric as a Decimal, which would be a string in JSON."""
    return int(sum_of_integers)


def by_table(books: Mapping[str, Book], table: str) -> list[Book]:
    """All books that one table fills: a touched row is wrong in each of them."""
    return [book for book in books.values() if book.table == table]


_CORRECTED = "n * row_hash(position, line_no, a, b)::numeric"
