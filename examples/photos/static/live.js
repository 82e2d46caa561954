// Shows the part of the page that changes as the server sends it. Without it the page loads itself again.
"use strict";
{
  const live = document.getElementById("live");
  const said = document.getElementById("said");
  const source = new EventSource(live.dataset.events);
  source.onmessage = (event) => {
    const next = document.createElement("div");
    next.innerHTML = JSON.parse(event.data);
    // Pictures that are there stay, or they would flicker.
    const there = new Map(Array.from(live.querySelectorAll("figure"), (figure) => [figure.innerHTML, figure]));
    for (const figure of next.querySelectorAll("figure")) {
      const same = there.get(figure.innerHTML);
      if (same) figure.replaceWith(same);
    }
    // Whoever is at a link or a button stays there.
    const at = document.activeElement;
    const path = live.contains(at) ? at.getAttribute("href") || at.form?.getAttribute("action") : null;
    live.replaceChildren(...next.childNodes);
    if (path) live.querySelector(`[href="${path}"], form[action="${path}"] button`)?.focus();
    // For those who listen: only what matters, not every photo.
    const news = live.querySelector("[data-say]")?.dataset.say || "";
    if (news !== said.textContent) said.textContent = news;
  };
  addEventListener("pagehide", () => source.close());
}
