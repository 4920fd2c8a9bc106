"use strict";
(() => {
  const stacks = JSON.parse(document.getElementById("stacks").textContent);
  const planes = [...document.querySelectorAll(".plane")];
  let layer = "moved";

  function show(plane) {
    const stack = stacks[Number(plane.dataset.plane)];
    const place = Number(plane.querySelector("input[type=range]").value);
    plane.querySelector("output").value = stack.indices[place];
    plane.querySelector(".under").src = stack.layers.fixed[place];
    plane.querySelector(".over").src = stack.layers[layer][place];
    plane.querySelector(".over-tag").textContent = document.querySelector("input[name=layer]:checked").parentElement.textContent.trim();
    for (const image of plane.querySelectorAll("[data-layer]")) image.src = stack.layers[image.dataset.layer][place];
  }

  function step(plane, by) {
    const slider = plane.querySelector("input[type=range]");
    slider.value = Number(slider.value) + by;
    show(plane);
  }

  function hold(flicker) {
    const order = { "": "held", "held": "held low", "held low": "" };
    const state = ["held", "low"].filter((name) => flicker.classList.contains(name)).join(" ");
    flicker.className = `flicker ${order[state]}`.trim();
  }

  const keys = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };
  for (const plane of planes) {
    plane.querySelector("input[type=range]").addEventListener("input", () => show(plane));
    const flicker = plane.querySelector(".flicker");
    flicker.addEventListener("keydown", (event) => {
      if (event.key === " ") hold(flicker);
      else if (event.key in keys) step(plane, keys[event.key]);
      else return;
      event.preventDefault();
    });
  }
  for (const choice of document.querySelectorAll("input[name=layer]")) {
    choice.addEventListener("change", () => {
      layer = choice.value;
      planes.forEach(show);
    });
  }
  document.documentElement.classList.add("scripted");
})();
