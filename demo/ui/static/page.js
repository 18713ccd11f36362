// Of the page as a whole: shows it as an embed where a frame asks for that, opens the tab that a link
// names, and says in the footer where the whole page is.
element.querySelector("a").href = base + "/#guess";

const query = new URLSearchParams(window.location.search);
if (!isEmbed && query.get("layout") === "compact") root.classList.add("cd-compact");

function openTab() {
  const buttons = [...root.querySelectorAll('[role="tab"]')];
  const button = buttons.find((tab) => "#" + tab.dataset.tabId === window.location.hash);
  if (button) button.click();
}

if (!isEmbed) {
  setTimeout(openTab, 300);
  window.addEventListener("hashchange", () => { if (element.isConnected) openTab(); });
}
