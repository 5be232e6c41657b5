"""Generated source code: a function or a class after another, each with statements and suites of several sorts."""

from __future__ import annotations

from random import Random

from benchmarks.made.words import noun, phrase, sentence


def python_class(random: Random, index: int) -> str:
    """A class with a docstring, a decorated method, calls over several lines, and most compound statements."""
    name, field = f"{noun(random).title()}{index}", noun(random)
    limit = random.randint(2, 900)
    return f'''@dataclass(frozen=True)
class {name}(Base):
    """{sentence(random)}

    {sentence(random)}
    """

    {field}: int = {limit}
    names: tuple[str, ...] = ("{phrase(random)}", "{phrase(random)}")

    @property
    def total_{field}(self) -> int:
        # {sentence(random)}
        total = {limit}
        for name in self.names:
            if name == "{noun(random)}" and self.{field} > {limit}:
                total += len(name)
            elif name.startswith("{noun(random)}"):
                continue
            else:
                total -= 1
        return total

    def {noun(random)}_{index}(self, value: int, *, {field}: str = "{noun(random)}") -> dict[str, int]:
        """{sentence(random)}"""
        try:
            found = self.client.fetch(
                "{phrase(random)}",
                value=value,
                {field}={field},
            )
        except (KeyError, ValueError) as error:
            raise LookupError(f"{{value}} is no {noun(random)}") from error
        finally:
            self.client.close()
        with open("{noun(random)}.txt") as stream:
            lines = [line.strip() for line in stream if "{noun(random)}" in line]
        return {{line: found[line] for line in lines}}


'''


def typescript_class(random: Random, index: int) -> str:
    """An interface, a class and a function with braces on the lines of their heads."""
    name, field = f"{noun(random).title()}{index}", noun(random)
    limit = random.randint(2, 900)
    return f"""export interface {name}Options {{
  {field}: number;
  label?: string;
}}

/** {sentence(random)} */
export class {name} extends Base {{
  private readonly {field}: number = {limit};

  constructor(private options: {name}Options) {{
    super("{phrase(random)}");
    this.total = options.{field} * {limit};
  }}

  async {noun(random)}(value: string): Promise<number> {{
    // {sentence(random)}
    if (value === "{noun(random)}") {{
      return this.{field};
    }} else {{
      this.total += value.length;
    }}
    const found = await this.client.fetch(
      "{phrase(random)}",
      {{ value, limit: {limit} }},
    );
    for (const one of found) {{
      this.names.push(one.label ?? "{noun(random)}");
    }}
    return found.length;
  }}
}}

export function {noun(random)}{index}(values: number[]): number {{
  return values.filter((value) => value > {limit}).length;
}}

"""


def go_function(random: Random, index: int) -> str:
    """A type and a method on it."""
    name, field = f"{noun(random).title()}{index}", noun(random).title()
    limit = random.randint(2, 900)
    return f"""// {name} is where {sentence(random)}
type {name} struct {{
	{field} int
	Names []string
}}

func (self *{name}) {noun(random).title()}(value string) (int, error) {{
	total := {limit}
	for _, name := range self.Names {{
		if name == value {{
			total += self.{field}
		}} else {{
			total--
		}}
	}}
	found, err := fetch("{phrase(random)}", total)
	if err != nil {{
		return 0, fmt.Errorf("no {noun(random)}: %w", err)
	}}
	return found, nil
}}

"""


def c_function(random: Random, index: int) -> str:
    """A struct, a constant and a function."""
    name, field = f"{noun(random)}_{index}", noun(random)
    limit = random.randint(2, 900)
    return f"""/* {sentence(random)} */
#define LIMIT_{index} {limit}

struct {name} {{
    int {field};
    const char *label;
}};

static int {noun(random)}_{index}(struct {name} *self, int value)
{{
    int total = LIMIT_{index};

    for (int i = 0; i < value; i++) {{
        if (self->{field} > i) {{
            total += self->{field} * {limit};
            printf("%s: %d\\n", self->label, total);
        }} else {{
            total--;
        }}
    }}
    return total;
}}

"""
