"""What tools print, a few lines of each: texts by name, under the kind of content that each must be taken for."""

from __future__ import annotations

import base64
import gzip
import random

_BYTES = random.Random(7).randbytes(6_000)
_MEETING = """\
Project Manager: Good morning everybody. Shall we begin?
Industrial Designer: Yes, I have the slides here.
Marketing: Me too.
Project Manager: Fine. The budget is twelve euros for each remote control, and we want to sell it for twenty-five.
User Interface: Is that with or without the battery?
Project Manager: With it.
Marketing: I think people lose their remote control often. So it should beep when you clap your hands.
Industrial Designer: That would need a microphone, and a microphone costs a euro.
"""
_CHAT = """\
[09:00] anna: morning all
[09:01] bob: morning
[09:02] anna: the deploy failed again, can someone look?
[09:03] cleo: on it
[09:05] bob: it was the database password, it had expired
[09:06] cleo: thanks, i will rotate it and write it down this time
[09:07] anna: great
[09:09] cleo: done, please try the deploy again
"""
_MAIL = """\
From: {0} <{0}@example.org>
To: {1} <{1}@example.org>
Date: Mon, 4 Mar 2024 09:12:33 +0100
Subject: Re: Berth 12

Hello {1},

berth 12 is free from Monday on. Could you bring the papers by then? The office opens at nine.

{0}

"""
_FIELDS = """\
Title: Harbour clerk
Company: Port of Bergen
Location: Bergen
Description: You keep the books of the harbour. You speak two languages.

"""
_RESULT = """\
Title: Harbour office, opening hours
URL: https://example.org/harbour
Snippet: The harbour office is open from nine to five on weekdays. On Saturdays it closes at noon.

"""
_DOCUMENTATION = """\
# Reading lines

The module reads a file line by line, and never more than one line at once.

```js
import { createReader } from 'node:lines';
const reader = createReader('names.txt');
reader.on('line', (line) => {
  console.log(line);
});
```

Without a callback it returns all lines:

```js
const { readAll } = require('node:lines');
const lines = readAll('names.txt');
```

"""
_PROGRAM = """\
// Part of the harbour project, under the licence of the harbour project.
// See the file that came with it.
//
// Berths are counted from one, boats from nought.
#include <vector>

namespace harbour {
int berths(const std::vector<int>& boats) {
    int count = 0;
    for (int boat : boats) {
        if (boat > 0) {
            count += 1;
        }
    }
    return count;
}
}
"""
_TRACE = """\
2024-03-04 09:12:41.554 ERROR [http-2] OrderController - Order failed
java.lang.IllegalStateException: no stock
	at com.shop.Stock.take(Stock.java:44)
	at com.shop.OrderController.order(OrderController.java:71)
Caused by: java.sql.SQLException: timeout
	at org.postgresql.Driver.connect(Driver.java:12)
	... 12 more
"""
_PANIC = """\
thread 'main' panicked at src/main.rs:27:22:
   0: <alloc::boxed::Box<F,A> as core::ops::FnOnce<A>>::call_once
   1: shop::main
"""
_POD = """\
Name:             orders-7b9c6f5d4-mm2vt
Namespace:        shop
Status:           Running
Containers:
  orders:
    Image:          registry.local/orders:1.4.0
    State:          Waiting
      Reason:       CrashLoopBackOff
    Last State:     Terminated
      Reason:       Error
"""

JSX = """\
export function Form({ onSave, user }) {
  const [name, setName] = useState(user.name);

  return (
    <form className="form" onSubmit={() => onSave(name)}>
      <Field label="Name">
        <input type="text" value={name} onChange={(e) => setName(e.target.value)} />
      </Field>
      <div className="row">
        <Button kind="primary" type="submit">
          Save
        </Button>
      </div>
      <p className="hint">
        Changes are saved at once.
      </p>
    </form>
  );
}
"""

OUTPUTS: dict[str, dict[str, str]] = {
    "transcript": {
        "meeting": _MEETING,
        "chat": _CHAT,
        "irc": "".join(f"<{line[8:].replace(': ', '> ', 1)}\n" for line in _CHAT.splitlines()),
        "phone": _CHAT.replace("[", "04/03/2024, ").replace("]", " -"),
        "video call": "".join(f"[00:{at:02d}:07] {line}\n" for at, line in enumerate(_MEETING.splitlines())),
        "captions": "".join(
            f"{name}  00:{at:02d}\n{said}\n\n" for at, (name, _, said) in enumerate(x.partition(": ") for x in _MEETING.splitlines())
        ),
        "bold names": "".join(f"**{line.replace(': ', ':** ', 1)}\n\n" for line in _MEETING.splitlines()),
        "chinese": "张三：大家早上好，我们开始吧。\n李四：好的，我先说一下预算。\n张三：多出来的用在哪里？\n李四：用在修理码头上。\n",
    },
    "prose": {
        "job offers": 5 * _FIELDS,
        "search results": 5 * _RESULT,
        "questions and answers": 6
        * "Question: How high is the lighthouse?\nAnswer: It is thirty metres high, and it was built in 1885.\n\n",
        "notes": 6 * "Note: the office is closed on that day.\nWarning: the ferry does not run then either.\n",
        "steps of an agent": 5
        * "Thought: I should look at the tide table.\nAction: open the tide table\nObservation: high water is at six.\n",
        "thai": 4 * "เช้านี้เราไปที่ท่าเรือ อากาศดีมากและลมไม่แรง ชาวประมงกำลังซ่อมอวน เด็กๆ เล่นอยู่ริมหาด\n\n",
        "arabic": 4 * "ذهبنا هذا الصباح إلى الميناء. كان الطقس جميلاً والرياح خفيفة. كان الصيادون يصلحون الشباك.\n\n",
    },
    "plain": {
        "mails": _MAIL.format("Ann", "Bob") + _MAIL.format("Bob", "Ann") + _MAIL.format("Ann", "Bob"),
        "headers": 4 * "HTTP/1.1 302 Found\nDate: Mon, 04 Mar 2024 09:12:33 GMT\nContent-Type: text/html; charset=utf-8\nServer: nginx\n\n",
        "pods": 3 * _POD,
        "settings": "[server]\nhost = 0.0.0.0\nport = 8080\n\n[database]\nurl = postgres://db/shop\npool_size = 10\n",
        "labels without words": 40 * "Ann:\nBob:\n",
        "bytes as Latin-1": _BYTES.decode("latin-1"),
        "bytes as broken UTF-8": gzip.compress(_BYTES).decode("utf-8", "replace"),
        "base64": base64.encodebytes(_BYTES).decode(),
        "hex dump": "".join(
            f"{at:08x}  {_BYTES[at : at + 8].hex(' ')}  {_BYTES[at + 8 : at + 16].hex(' ')}  |{'.|.' * 5}|\n" for at in range(0, 800, 16)
        ),
        "progress bar": "".join(f"\rDownloading: {share:3}% [{'=' * (share // 4):<25}]" for share in range(101)) + "\nDone.\n",
        "bat file": "@echo off\nset NAME=shop\nif exist %NAME% goto end\nmkdir %NAME%\n:end\n",
    },
    "log": {
        "stack trace": 3 * _TRACE,
        "phone log": 3
        * "03-04 09:12:33.123  1234  5678 I ActivityManager: Start proc 4321\n03-04 09:12:34.001  1234  5678 E Runtime: FATAL\n",
        "service in front of the time": 4 * "update-alternatives 2025-06-24 14:36:53: run with --quiet --install /usr/bin/pager\n",
        "key and value": "".join(f'time=2024-03-04T09:{at}:33Z level=info msg="started" port=80\n' for at in range(10, 20)),
        "ruby": 4 * "I, [2024-03-04T09:12:33.123456 #123]  INFO -- : Started GET\n",
        "components that speak": "".join(
            f"09:12:{at} Scheduler: picked up job {at}\n09:12:{at} Worker: ran job {at} to its end\n" for at in range(10, 20)
        ),
        "go test": "=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n    b_test.go:18: got 9.99\n--- FAIL: TestB (0.00s)\n",
        "cargo test": "running 3 tests\ntest cart::adds ... ok\ntest cart::rounds ... FAILED\ntest cart::empty ... ok\n",
        "pytest -v": "".join(f"tests/test_cart.py::test_case_{at} PASSED  [{at}%]\n" for at in range(9)),
        "coloured": 4 * "\x1b[32mINFO\x1b[0m  server: listening\n\x1b[31mERROR\x1b[0m server: connection refused\n",
        "rust trace": 3 * _PANIC,
    },
    "grep": {
        "grep": "src/cart.py:12:def total(self):\nsrc/cart.py:18:    return round(total, 2)\nsrc/orders.py:44:    total = 3\n",
        "ripgrep": "src/cart.py\n12:def total(self):\n18:    return round(total, 2)\n\nsrc/orders.py\n44:        total = cart.total()\n",
        "find": "src/shop/__init__.py\nsrc/shop/cart.py\nsrc/shop/models/order.py\n./docs/index.md\n",
        "ls -l": "total 64\n-rw-r--r--  1 anna staff   1523 Mar  4 09:12 README.md\ndrwxr-xr-x  4 anna staff    128 Mar  3 18:40 src\n",
    },
    "code": {
        "comments that look like paths": _PROGRAM,
        "jsx": JSX,
    },
    "markdown": {
        "documentation with more code than words": 2 * _DOCUMENTATION,
        "change log": "# Changelog\n\n## [1.4.0] - 2024-03-04\n### Added\n- Totals are rounded to cents.\n- A cart can be emptied.\n",
    },
    "table": {
        "kubectl get": "NAME      READY   STATUS    AGE\ncart-5d   1/1     Running   3d4h\norders    0/1     Error     71m\n",
        "psql": " id |  name  | price\n----+--------+-------\n  1 | tea    |  3.50\n  2 | coffee |  4.20\n(2 rows)\n\n",
        "quoted line breaks": 5 * 'id,name,comment\n1,Ann,"likes tea,\nand coffee"\n2,Bob,"said ""no"""\n',
        "numbers of columns": "".join(f"{at}\t{at * 7}\t{at * 13 % 11}\n" for at in range(9)),
    },
    "markup": {
        "feed": '<?xml version="1.0"?>\n<rss><channel>\n'
        + 5 * "<item><title>Ferry delayed</title><link>/a</link></item>\n"
        + "</channel></rss>\n",
        "page": "<!DOCTYPE html>\n<html><body>\n<h1>Harbour</h1>\n<p>Berth 12 is free.</p>\n</body></html>\n",
    },
    "diff": {
        "patch": "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1,3 +1,3 @@\n import os\n-print(1)\n+print(2)\n",
    },
    "json": {
        "records": '[{"id": 1, "name": "tea"}, {"id": 2, "name": "coffee"}]\n',
        "one record": "Name: numpy\nVersion: 2.1.0\nSummary: arrays\nLicense: BSD\n",
    },
}
"""Kind -> name -> text."""
