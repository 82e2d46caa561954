// Hands the answer to the page that opened this popup, and to no other origin.
"use strict";
{
  const place = document.getElementById("answer");
  const message = {
    type: "emulator-authorization",
    id: place.dataset.popup,
    answer: JSON.parse(place.dataset.answer),
  };
  if (window.opener) {
    window.opener.postMessage(message, place.dataset.origin);
    window.close();
  } else {
    place.textContent = "The page that opened this window is gone. You can close it.";
  }
}
