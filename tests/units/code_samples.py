"""Small files in every language that is cut by its syntax, and random Python, for the tests of code units."""

from __future__ import annotations

from hypothesis import strategies as st

PYTHON = '''\
"""Stock of a shop."""

import csv
from pathlib import Path

LIMIT = 40


# Reads what the till writes.
@register("stock")
class Stock(Base):
    """What is in store.

    Counts are whole numbers, and an article that was never delivered is not listed at all.
    """

    columns = ("article", "count")

    def load(self, path: Path) -> dict[str, int]:
        """Read the counts from a file, the first line of which is a header."""
        counts: dict[str, int] = {}
        with path.open(newline="", encoding="utf-8") as file:
            for article, count in csv.reader(file, delimiter=";"):
                if article in counts and int(count) != counts[article]:
                    raise ValueError(f"article {article} is listed twice in {path}")
                counts[article] = int(count)
        return counts

    def is_low(self, article: str) -> bool:
        return self.counts.get(article, 0) < LIMIT


def report(stock: Stock, articles: list[str]) -> str:
    lines = [f"{article}: {stock.counts[article]}" for article in articles if not stock.is_low(article)]
    if not lines:
        return "everything is low"
    else:
        lines.sort()
    return "\\n".join(lines)
'''

JAVASCRIPT = """\
import { open } from "./store.js";
const limit = 40;

// Answers with the count of one article.
export async function count(request, response) {
  const store = await open(request.params.shop);
  if (!store.has(request.params.article)) {
    response.status(404).json({ error: "no such article", article: request.params.article });
    return;
  } else if (store.isClosed) {
    response.status(503).json({ error: "the store is closed until further notice" });
    return;
  }
  response.json({ count: store.count(request.params.article) });
}

export const isLow = (count) => {
  return count < limit;
};
"""

TSX = """\
import React, { useState } from "react";
import type { Article } from "./types";

interface Props {
  article: Article;
  onOrder?: (article: Article) => Promise<void>;
}

export const Row: React.FC<Props> = ({ article, onOrder }) => {
  const [isBusy, setIsBusy] = useState<boolean>(false);

  async function order(): Promise<void> {
    setIsBusy(true);
    try {
      await onOrder?.({ ...article, ordered: true });
    } finally {
      setIsBusy(false);
    }
  }

  return (
    <tr className="article">
      <td title={article.description}>{article.name}</td>
      <td><button disabled={isBusy} onClick={order}>Order more of it</button></td>
    </tr>
  );
};
"""

JAVA = """\
package org.example.shop;

import java.util.HashMap;
import java.util.Map;

/** Counts of articles. */
@Service
public class Stock extends Base {
    private final Map<String, Integer> counts = new HashMap<>();

    @Override
    public void deliver(String article, int count) throws StockException {
        if (count <= 0) {
            throw new StockException("nothing was delivered of article " + article);
        }
        counts.merge(article, count, Integer::sum);
        for (Listener listener : listeners) {
            listener.delivered(article, counts.get(article), System.currentTimeMillis());
        }
    }

    public int count(String article) {
        return counts.getOrDefault(article, 0);
    }
}
"""

GO = """\
package stock

import (
	"fmt"
	"os"
)

// Stock counts articles.
type Stock struct {
	counts map[string]int
}

func (s *Stock) Load(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("stock in %s cannot be read: %w", path, err)
	}
	for _, line := range strings.Split(string(data), "\\n") {
		article, count, found := strings.Cut(line, ";")
		if found {
			s.counts[article] = parse(count)
		}
	}
	return nil
}
"""

RUST = """\
use std::collections::HashMap;

/// Counts of articles.
#[derive(Debug, Default)]
pub struct Stock {
    counts: HashMap<String, u32>,
}

impl Stock {
    #[inline]
    pub fn deliver(&mut self, article: &str, count: u32) -> Result<u32, StockError> {
        match self.counts.get_mut(article) {
            Some(known) => {
                *known += count;
                println!("{} more of {}", count, article);
                Ok(*known)
            }
            None => Err(StockError::Unknown(article.to_string())),
        }
    }
}
"""

C = """\
#include <stdio.h>
#include "stock.h"

#define LIMIT 40

/* Counts of articles. */
struct stock {
    int *counts;
    size_t size;
};

static int
stock_deliver(struct stock *stock, size_t article, int count)
{
    if (article >= stock->size) {
        fprintf(stderr, "there is no article %zu in a stock of %zu\\n", article, stock->size);
        return -1;
    }
    stock->counts[article] += count;
    return stock->counts[article];
}
"""

CPP = """\
#include <map>
#include <string>

namespace shop {

template <typename Count>
class Stock : public Base<Count> {
public:
    explicit Stock(std::size_t limit) : limit_(limit) {}

    void deliver(const std::string& article, Count count) {
        if (counts_.size() >= limit_) {
            throw std::length_error("the stock holds no more articles than it does");
        }
        counts_[article] += count;
    }

private:
    std::map<std::string, Count> counts_;
    std::size_t limit_;
};

}  // namespace shop
"""

FILES = {"python": PYTHON, "javascript": JAVASCRIPT, "tsx": TSX, "java": JAVA, "go": GO, "rust": RUST, "c": C, "cpp": CPP}


def _indented(statements: list[str]) -> str:
    return "".join(f"    {line}\n" if line else "\n" for statement in statements for line in statement.rstrip("\n").split("\n"))


_HEADS = st.sampled_from(["if x:", "for item in items:", "def work(a, b):", "class Thing(Base):", "try:", "with open(name) as file:"])
_SIMPLE = st.sampled_from(
    [
        "x = compute(1, 2)",
        "return x",
        "# why this is so",
        '"""What it does."""',
        "import json",
        "",
        "values = [\n    1,\n    2,\n]",
        "name = '日本語'",
        "raise ValueError(f'no value for {name} was found in the table of all values that were read before')",
        'query = """\nselect *\nfrom articles\n"""',
    ]
)
_STATEMENTS = st.recursive(
    _SIMPLE,
    lambda inner: st.builds(lambda head, body: f"{head}\n{_indented(body)}", _HEADS, st.lists(inner, min_size=1, max_size=6)),
    max_leaves=40,
)

PYTHON_FILES = st.lists(_STATEMENTS, min_size=1, max_size=8).map(lambda parts: "import os\nimport sys\n\n" + "\n".join(parts) + "\n")
"""Python of any nesting, not always valid."""

CODE = st.one_of(st.sampled_from(sorted(FILES.values())), PYTHON_FILES)


def numbered(text: str, first: int = 1, mark: str = "\t") -> str:
    """`text` as tools show it, with a number before each line."""
    return "".join(f"{number:6d}{mark}{line}\n" for number, line in enumerate(text.rstrip("\n").split("\n"), first))
