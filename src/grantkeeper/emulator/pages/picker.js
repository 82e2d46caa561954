// Counts what is picked, keeps to the limit, and lets the keyboard do all of it. Without it the form works as well.
"use strict";
{
  const form = document.getElementById("picker");
  const closing = document.querySelector("#picked[data-close]");
  if (closing) window.close();

  const start = () => {
    const boxes = Array.from(form.querySelectorAll("input[name=photo]"));
    const most = Number(form.dataset.most);
    const count = document.getElementById("count");
    const all = document.getElementById("all");
    const done = document.getElementById("done");
    let anchor = 0;

    const picked = () => boxes.filter((box) => box.checked).length;

    const show = (problem = "") => {
      const number = picked();
      const limit = most < boxes.length ? ` of at most ${most}` : "";
      count.textContent = problem || `${number}${limit} picked`;
      done.disabled = number === 0;
      all.textContent = number === 0 ? "Select all" : "Select none";
      all.hidden = number === 0 && most < boxes.length;
    };

    // As far as the limit allows; whether everything that was meant could be picked.
    const pick = (meant) => {
      for (const box of meant) {
        if (box.checked) continue;
        if (picked() >= most) return false;
        box.checked = true;
      }
      return true;
    };

    const changed = (box, wholeRange) => {
      const here = boxes.indexOf(box);
      let fits = true;
      if (box.checked) {
        box.checked = false;
        const range = wholeRange ? boxes.slice(Math.min(anchor, here), Math.max(anchor, here) + 1) : [box];
        fits = pick(range);
      }
      anchor = here;
      show(fits ? "" : `At most ${most} can be picked.`);
    };

    const columns = () => {
      const top = boxes[0].parentElement.offsetTop;
      const below = boxes.findIndex((box) => box.parentElement.offsetTop > top);
      return below < 0 ? boxes.length : below;
    };

    const target = (key, here) => {
      switch (key) {
        case "ArrowRight": return here + 1;
        case "ArrowLeft": return here - 1;
        case "ArrowDown": return here + columns();
        case "ArrowUp": return here - columns();
        case "Home": return 0;
        case "End": return boxes.length - 1;
        default: return -1;
      }
    };

    form.addEventListener("keydown", (event) => {
      const here = boxes.indexOf(event.target);
      if (here < 0) return;
      const box = boxes[target(event.key, here)];
      if (box) {
        event.preventDefault();
        box.focus();
        box.parentElement.scrollIntoView({ block: "nearest" });
      } else if (event.key === " " && event.shiftKey) {
        event.preventDefault();
        event.target.checked = true;
        changed(event.target, true);
      }
    });
    let shift = false;
    form.addEventListener("click", (event) => { shift = event.shiftKey; }, true);
    form.addEventListener("change", (event) => {
      if (boxes.includes(event.target)) changed(event.target, shift);
      shift = false;
    });
    all.addEventListener("click", () => {
      if (picked() === 0) pick(boxes);
      else for (const box of boxes) box.checked = false;
      show();
    });
    document.querySelector(".keys").hidden = false;
    show(count.textContent);
  };

  if (form) start();
}
