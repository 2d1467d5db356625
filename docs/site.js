// Makes tables that are wider than their box reachable by keyboard: Material puts each table into a
// box that scrolls (.md-typeset__scrollwrap), but a reader without a mouse cannot focus that box.

const headingBefore = (element) => {
  const headings = [...document.querySelectorAll("article :is(h1, h2, h3, h4)")];
  const position = Node.DOCUMENT_POSITION_FOLLOWING;
  const above = headings.filter((heading) => heading.compareDocumentPosition(element) & position);
  return above.at(-1)?.firstChild.textContent.trim() ?? document.title;
};

function label(boxes) {
  const seen = new Map();
  for (const box of boxes) {
    const heading = headingBefore(box);
    const count = (seen.get(heading) ?? 0) + 1;
    seen.set(heading, count);
    const name = count === 1 ? `Table: ${heading}` : `Table ${count}: ${heading}`;
    new ResizeObserver(() => {
      if (box.scrollWidth > box.clientWidth) {
        box.tabIndex = 0;
        box.setAttribute("role", "region");
        box.setAttribute("aria-label", name);
      } else {
        for (const attribute of ["tabindex", "role", "aria-label"]) box.removeAttribute(attribute);
      }
    }).observe(box);
  }
}

// Material wraps the tables when it starts, which is done once everything is loaded.
addEventListener("load", () => label(document.querySelectorAll(".md-typeset__scrollwrap")));
