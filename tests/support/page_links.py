"""The links of a page in a browser."""

__all__ = ["GO"]

GO = """async place => {
  if (location.hash !== place) {
    const arrived = new Promise(done => addEventListener("hashchange", done, {once: true}));
    location.hash = place;
    await arrived;
  }
  await depthwise.tick();
}"""
"""Goes to a place and waits until the page shows it."""
