"""When a browser painted a page first."""

# Waiting for a function would have it evaluated within the page again and again, which the page's policy forbids.
FIRST_PAINT_MS = """() => new Promise(tell => new PerformanceObserver(list => list.getEntries()
    .filter(one => one.name === 'first-contentful-paint').forEach(one => tell(one.startTime))
).observe({type: 'paint', buffered: true}))"""
"""What to evaluate in the page: gives milliseconds after it was asked for."""
