// One wall of images: which model is asked is chosen by the slider, one image by click, tap or arrow keys.
(function () {
  const box = document.getElementById("@ID@"), data = JSON.parse(box.querySelector("script[type='application/json']").textContent);
  const slider = box.querySelector("input"), tiles = [...box.querySelectorAll(".fu-tile")], say = box.querySelector(".fu-say");
  const half = data.models / 2, share = data.images.map((image) => [...image.retrained].filter((bit) => bit === "1").length);
  const KINDS = { known: ["", ""], forgotten: ["fu-forgotten", "–"], still: ["fu-still", "!"], lost: ["fu-lost", "×"] };
  const WORDS = { known: "known, as by retraining", forgotten: "forgotten, as by retraining", still: "still known, though retraining does not", lost: "lost, though retraining knows it" };
  let chosen = 0;

  function kind(image, right) {
    const expected = share[image] > half;
    return right ? (expected ? "known" : "still") : (expected ? "lost" : "forgotten");
  }

  function place(element, image, size) {
    const sheet = data.columns;
    element.style.backgroundImage = "url(" + data.sprite + ")";
    element.style.backgroundSize = 100 * sheet + "% auto";
    element.style.backgroundPosition = (100 * (image % sheet)) / (sheet - 1) + "% " + (100 * Math.floor(image / sheet)) / (data.rows - 1) + "%";
  }

  function show() {
    const setting = data.settings[slider.value], count = { known: 0, forgotten: 0, still: 0, lost: 0 };
    box.querySelector("output").textContent = setting.name;
    slider.setAttribute("aria-valuetext", setting.name);
    tiles.forEach((tile, image) => {
      const what = kind(image, setting.right[image] === "1");
      count[what] += 1;
      tile.className = "fu-tile " + KINDS[what][0];
      tile.querySelector("b").textContent = KINDS[what][1];
      tile.setAttribute("aria-label", "a " + data.images[image].label + ": " + WORDS[what] + "; " + share[image] + " of " + data.models + " retrained models are right");
    });
    const own = count.forgotten + count.still, common = count.known + count.lost;
    say.textContent = setting.name + ": of the " + own + " images here that most retrained models get wrong, " + count.forgotten + " are forgotten and " + count.still
      + " still known; of the " + common + " that most get right, " + count.known + " are kept and " + count.lost + " lost.";
    focusOn(chosen, false);
  }

  function focusOn(image, move) {
    tiles[chosen].tabIndex = -1;
    tiles[chosen].setAttribute("aria-pressed", "false");
    chosen = image;
    tiles[image].tabIndex = 0;
    tiles[image].setAttribute("aria-pressed", "true");
    if (move) tiles[image].focus();
    const facts = data.images[image], right = data.settings[slider.value].right[image] === "1";
    place(box.querySelector(".fu-big"), image);
    box.querySelector(".fu-what").textContent = "A " + facts.label + ". " + data.settings[slider.value].name + ": " + WORDS[kind(image, right)] + ". Memorization score " + facts.score.toFixed(2) + ".";
    box.querySelector(".fu-dots").innerHTML = [...facts.retrained].map((bit) => (bit === "1" ? "<u>●</u>" : "○")).join("");
    box.querySelector(".fu-how").textContent = share[image] + " of " + data.models + " retrained models are right, the original is " + (facts.original ? "right" : "wrong") + ".";
  }

  tiles.forEach((tile, image) => {
    place(tile, image);
    tile.querySelector("i").style.width = (100 * share[image]) / data.models + "%";
    tile.addEventListener("click", () => focusOn(image, false));
    tile.addEventListener("keydown", (event) => {
      const across = getComputedStyle(box.querySelector(".fu-tiles")).gridTemplateColumns.split(" ").length;
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      focusOn(Math.min(tiles.length - 1, Math.max(0, image + step)), true);
    });
  });
  slider.addEventListener("input", show);
  show();
})();
