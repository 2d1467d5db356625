// What Material for MkDocs leaves out for readers without a mouse.

// The name of the section that an element is in.
function headingBefore(element) {
  const headings = [...document.querySelectorAll("article :is(h1, h2, h3, h4)")];
  const follows = Node.DOCUMENT_POSITION_FOLLOWING;
  const above = headings.filter((heading) => heading.compareDocumentPosition(element) & follows);
  return above.at(-1)?.firstChild.textContent.trim() ?? document.title;
}

// A table that is wider than its box scrolls inside it: the keyboard has to reach that box.
function focusableTables() {
  const seen = new Map();
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) {
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

// The buttons of the header are labels of hidden checkboxes, which Tab passes over.
function focusableButtons() {
  const names = { __drawer: "Navigation", __search: "Search" };
  for (const [toggle, name] of Object.entries(names)) {
    const button = document.querySelector(`.md-header__button[for=${toggle}]`);
    if (!button) continue;
    button.tabIndex = 0;
    button.title = name;
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      button.click();
    });
  }
  document.querySelector(".md-search[role=dialog]")?.setAttribute("aria-label", "Search");
}

// Material puts the tables into their boxes when it starts: wait until it has.
addEventListener("load", () => {
  focusableTables();
  focusableButtons();
});
