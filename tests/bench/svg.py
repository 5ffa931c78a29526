"""Plots as plain SVG: lines over a scale, and bars. No library, the same bytes for the same figures."""

import math

COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8d6a9f", "#c77f1a", "#4a4a4a", "#58a4b0")
WIDTH, LEFT, RIGHT, TOP = 720, 76, 24, 56
FONT = 'font-family="sans-serif" font-size="12"'


def escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def number(value):
    """As a reader wants it: three digits that count."""
    if value == 0:
        return "0"
    size = abs(value)
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def whole(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def text(x, y, words, anchor="start", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} fill="#222" {extra}>{escape(words)}</text>'


def line(x1, y1, x2, y2, colour="#ccc", extra=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {extra}/>'


def page(height, title, parts):
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">'
            f'<title>{escape(title)}</title><rect width="{WIDTH}" height="{height}" fill="#fff"/>')
    return "\n".join([head, text(LEFT, 20, title, extra='font-weight="bold"'), *parts, "</svg>"]) + "\n"


class Axis:
    """Values to places. log: each power of ten has a line."""

    def __init__(self, values, start, end, log=False, from_zero=True):
        self.start, self.end, self.log = start, end, log
        values = [value for value in values if value > 0] if log else list(values)
        low, high = (min(values), max(values)) if values else (1, 10)
        if log:
            self.low, self.high = math.floor(math.log10(low)), max(math.ceil(math.log10(high)), math.floor(math.log10(low)) + 1)
            self.marks = [10.0 ** power for power in range(self.low, self.high + 1)]
        else:
            low = min(low, 0) if from_zero else low
            step = self.step((high - low) or abs(high) or 1)
            self.low, self.high = math.floor(low / step) * step, math.ceil(high / step) * step
            if self.low == self.high:
                self.high += step
            self.marks = [self.low + step * i for i in range(round((self.high - self.low) / step) + 1)]

    @staticmethod
    def step(span):
        base = 10 ** math.floor(math.log10(span / 4))
        return next(base * factor for factor in (1, 2, 2.5, 5, 10) if base * factor >= span / 5)

    def place(self, value):
        value = math.log10(value) if self.log else value
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


def legend(names, y):
    """Its parts, and how much lower all else begins if it needs more than one line."""
    parts, x, first = [], LEFT, y
    for i, name in enumerate(names):
        width = 32 + 7 * len(str(name))
        if x > LEFT and x + width > WIDTH:
            x, y = LEFT, y + 18
        parts.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{COLOURS[i % len(COLOURS)]}"/>')
        parts.append(text(x + 17, y, name))
        x += width
    return parts, y - first


def lines(title, series, x_name, y_name, log_x=True, log_y=True):
    """series: name: [(x, y), ...]."""
    parts, lower = legend(series, 42)
    top, bottom, height = TOP + lower, 310 + lower, 360 + lower
    x_axis = Axis([x for points in series.values() for x, _ in points], LEFT, WIDTH - RIGHT, log_x, from_zero=False)
    y_axis = Axis([y for points in series.values() for _, y in points], bottom, top, log_y)
    for mark in y_axis.marks:
        parts += [line(LEFT, y_axis.place(mark), WIDTH - RIGHT, y_axis.place(mark)),
                  text(LEFT - 6, y_axis.place(mark) + 4, number(mark), "end")]
    for mark in x_axis.marks:
        parts += [line(x_axis.place(mark), bottom, x_axis.place(mark), bottom + 4, "#666"),
                  text(x_axis.place(mark), bottom + 18, number(mark), "middle")]
    parts += [text((LEFT + WIDTH - RIGHT) / 2, height - 12, x_name, "middle"),
              text(16, (top + bottom) / 2, y_name, "middle", f'transform="rotate(-90 16 {(top + bottom) / 2:.1f})"')]
    for i, points in enumerate(series.values()):
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in points if y > 0 or not log_y]
        colour = COLOURS[i % len(COLOURS)]
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="' +
                     " ".join(f"{x:.1f},{y:.1f}" for x, y in places) + '"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
    return page(height, title, parts)


def bars(title, rows, unit, log=False):
    """rows: [(label, {name: value}), ...], one bar for each name; lying, so that labels have room."""
    names = list(dict.fromkeys(name for _, values in rows for name in values))
    left, thick = LEFT + 190, 16
    parts, lower = legend(names, 42) if len(names) > 1 else ([], 0)
    top = y = TOP + lower
    axis = Axis([value for _, values in rows for value in values.values()], left, WIDTH - 90, log)
    bars_parts = []
    for label, values in rows:
        bars_parts.append(text(left - 8, y + thick * len(values) / 2 + 4, label, "end"))
        for name, value in values.items():
            least = axis.start if log else axis.place(0)
            end = axis.place(value) if value > 0 or not log else axis.start
            bars_parts.append(f'<rect x="{min(least, end):.1f}" y="{y}" width="{max(abs(end - least), 1):.1f}" height="{thick - 2}" '
                              f'fill="{COLOURS[names.index(name) % len(COLOURS)]}"/>')
            bars_parts.append(text(max(least, end) + 5, y + thick - 5, f"{whole(value)} {unit}".strip()))
            y += thick
        y += 8
    parts += [line(axis.place(mark), top - 4, axis.place(mark), y) for mark in axis.marks] + bars_parts
    parts += [text(axis.place(mark), y + 16, number(mark), "middle") for mark in axis.marks]
    return page(y + 30, title, parts)
