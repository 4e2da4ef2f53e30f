// Shows titles of marks at once and in full, where a browser would wait. Without it they are still titles.
(function () {
  const tip = document.getElementById("tip");
  document.querySelectorAll("svg > title").forEach(function (title) {
    const svg = title.parentNode;
    svg.setAttribute("aria-label", title.textContent);
    svg.setAttribute("aria-describedby", title.id.replace("-t", "-d"));
    svg.removeAttribute("aria-labelledby");
    title.remove();
  });
  document.querySelectorAll("svg title").forEach(function (title) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  });
  document.addEventListener("pointermove", function (event) {
    const mark = event.target.closest ? event.target.closest("[data-tip]") : null;
    tip.hidden = mark === null;
    if (mark === null) { return; }
    tip.textContent = mark.dataset.tip;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = Math.max(8, Math.min(event.clientX + 16, room)) + "px";
    const below = window.innerHeight - tip.offsetHeight - 8;
    tip.style.top = Math.max(8, Math.min(event.clientY + 16, below)) + "px";
  });
})();
