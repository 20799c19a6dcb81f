/* What scrolls sideways can be reached with the keyboard and has a name; what fits is no stop for the tab key. */
(function () {
  "use strict";
  var boxes = ".cell_output, .cell_output .text_html, .cell_output figure, .pst-scrollable-table-container, .fu-idea, div.math, div.highlight";
  function name(box) {
    var said = box.querySelector("caption, figcaption"), heading = null, at = box;
    for (; !said && !heading && at; at = at.parentElement) heading = at.closest("section") && at.closest("section").querySelector("h1, h2, h3");
    return "Scrolls sideways: " + (said || heading || document.querySelector("h1")).textContent.replace(/[#\s]+/g, " ").trim().slice(0, 90);
  }
  function mark() {
    document.querySelectorAll(boxes).forEach(function (box, place) {
      var scrolls = box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible";
      if (scrolls && !box.hasAttribute("tabindex")) {
        box.setAttribute("tabindex", "0");
        box.setAttribute("role", "region");
        box.setAttribute("aria-label", name(box) + " (" + (place + 1) + ")");
      } else if (!scrolls && box.getAttribute("role") === "region") {
        ["tabindex", "role", "aria-label"].forEach(function (each) { box.removeAttribute(each); });
      }
    });
  }
  window.addEventListener("load", mark);
  window.addEventListener("resize", mark);
  document.addEventListener("click", function () { setTimeout(mark, 0); });
})();

/* From disk a page may not read other pages: the search then lists what it found without excerpts, and without errors. */
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
