"use strict";
for (const slider of document.querySelectorAll(".slider")) {
  const range = slider.querySelector("input[type=range]");
  const frame = slider.querySelector(".frame");
  const sweep = () => slider.style.setProperty("--cut", `${range.value}%`);
  const drag = (event) => {
    if (event.buttons !== 1 || range.disabled) return;
    const box = frame.getBoundingClientRect();
    range.value = (100 * (event.clientX - box.left)) / box.width;
    sweep();
  };
  range.addEventListener("input", sweep);
  frame.addEventListener("pointerdown", drag);
  frame.addEventListener("pointermove", drag);
  sweep();
}
