# SPDX-License-Identifier: MIT
"""Plots as SVG, drawn by hand: bars of ratios, and lines of growth; both on logarithmic axes."""
import math
from xml.sax.saxutils import escape

COLOURS = ["#1769aa", "#c2410c", "#2e7d32", "#6d28d9", "#64748b", "#b45309", "#0e7490", "#be185d"]
GRID, INK, BETTER, WORSE = "#d4d4d8", "#27272a", "#2e7d32", "#c2410c"


class _Svg:
    def __init__(self, width, height, title):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]
        self.text(12, 20, title, weight="bold", size=14)

    def line(self, x1, y1, x2, y2, colour=INK, width=1, dash=None):
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'stroke="{colour}" stroke-width="{width}"{dashes}/>')

    def rect(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" '
                          f'height="{height:.1f}" fill="{colour}"/>')

    def circle(self, x, y, radius, colour):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def polyline(self, points, colour):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')

    def text(self, x, y, text, anchor="start", weight="normal", size=12, colour=INK):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
                          f'font-size="{size}" fill="{colour}">{escape(text)}</text>')

    def save(self, path):
        with open(path, "w") as f:
            f.write("\n".join(self.parts + ["</svg>", ""]))


class _Log:
    """A logarithmic axis from a range of values to a range of pixels, with its ticks."""

    def __init__(self, least, most, begin, end):
        self.low, self.high = math.log10(least), math.log10(most)
        if self.high - self.low < 0.3:
            middle = (self.high + self.low) / 2
            self.low, self.high = middle - 0.15, middle + 0.15
        self.begin, self.end = begin, end

    def __call__(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self):
        decades = self.high - self.low
        steps = (1,) if decades > 4 else (1, 3) if decades > 2.5 else (1, 2, 5) if decades > 0.8 else range(1, 10)
        for exponent in range(math.floor(self.low), math.ceil(self.high) + 1):
            for step in steps:
                value = step * 10.0 ** exponent
                if self.low - 1e-9 <= math.log10(value) <= self.high + 1e-9:
                    yield value


def number(value):
    """Short, for a tick: 0.05, 2, 300, 10k, 1M."""
    for limit, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= 10 * limit or value == limit:
            return f"{value / limit:g}{suffix}"
    return f"{value:g}"


def bars(path, title, rows, axis="ratio to the peer, less is better", middle=1.0):
    """`rows`: (name, median, least, most, limit or None). Bars grow from `middle`."""
    rows = [r for r in rows if r[1] > 0 and r[2] > 0]
    if not rows:
        return False
    left, right, top, step = 215, 60, 40, 18
    width, height = 820, top + step * len(rows) + 45
    values = [v for r in rows for v in r[1:4]] + [r[4] for r in rows if r[4]] + [middle]
    svg = _Svg(width, height, title)
    x = _Log(min(values) / 1.1, max(values) * 1.1, left, width - right)
    bottom = top + step * len(rows)
    for tick in x.ticks():
        svg.line(x(tick), top - 4, x(tick), bottom, GRID)
        svg.text(x(tick), bottom + 16, number(tick), "middle", size=11)
    for i, (name, median, least, most, limit) in enumerate(rows):
        y = top + i * step
        begin, end = sorted((x(middle), x(median)))
        svg.text(left - 8, y + 13, name, "end")
        svg.rect(begin, y + 3, end - begin, step - 6, BETTER if median <= middle else WORSE)
        svg.line(x(least), y + step / 2, x(most), y + step / 2, INK)
        if limit:
            svg.line(x(limit), y + 1, x(limit), y + step - 1, "#000000", 2, "3,2")
        svg.text(width - right + 6, y + 13, f"{median:.2f}", size=11)
    svg.line(x(middle), top - 4, x(middle), bottom, INK, 1.5)
    svg.text((left + width - right) / 2, bottom + 34, axis, "middle")
    svg.save(path)
    return True


def lines(path, title, series, x_label, y_label):
    """`series`: {name: [(x, y, least, most)]}."""
    series = {name: [p for p in points if p[1] > 0 and p[2] > 0] for name, points in series.items()}
    series = {name: sorted(points) for name, points in series.items() if len(points) > 1}
    if not series:
        return False
    width, height, left, right, top, bottom = 820, 400, 75, 165, 40, 350
    points = [p for of in series.values() for p in of]
    svg = _Svg(width, height, title)
    x = _Log(min(p[0] for p in points), max(p[0] for p in points), left, width - right)
    y = _Log(min(p[2] for p in points) / 1.1, max(p[3] for p in points) * 1.1, bottom, top)
    for tick in x.ticks():
        svg.line(x(tick), top, x(tick), bottom, GRID)
        svg.text(x(tick), bottom + 16, number(tick), "middle", size=11)
    for tick in y.ticks():
        svg.line(left, y(tick), width - right, y(tick), GRID)
        svg.text(left - 6, y(tick) + 4, number(tick), "end", size=11)
    taken = []
    for i, (name, of) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        for value, _, least, most in of:
            svg.line(x(value), y(least), x(value), y(most), colour)
        svg.polyline([(x(p[0]), y(p[1])) for p in of], colour)
        for p in of:
            svg.circle(x(p[0]), y(p[1]), 3, colour)
        # The name stands where the line ends, moved down where another one stands already.
        at = y(of[-1][1]) + 4
        while any(abs(at - other) < 14 for other in taken):
            at += 14
        taken.append(at)
        svg.text(x(of[-1][0]) + 8, at, name, colour=colour, weight="bold")
    svg.text((left + width - right) / 2, bottom + 36, x_label, "middle")
    svg.text(12, top - 4, y_label, size=11)
    svg.save(path)
    return True
