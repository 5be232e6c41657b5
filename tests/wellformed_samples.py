"""Texts that the tests of the benchmark of well-formed outputs share."""

PYTHON = '''import os


@cached
def price_of(kind, *, base):
    """What a kind costs.

    In crowns.
    """
    # the usual ones first
    if kind == "lantern":
        price = 1
    elif kind == "ferry": price = 2
    elif kind in (
        "granary",
        "kiln",
    ):
        price = base * 3
    else:
        price = fetch(
            kind,
            base=base,
        )
    try:
        store(price)
    except ValueError:
        pass
    finally:
        close(); log()
    match price:
        case 1:
            return None
        case _:
            return price
'''
TABLE = "id,place,count,note\n" + "".join(f'{i},harbour,{i * 7},"first line\nsecond line of {i}"\n' for i in range(30))
