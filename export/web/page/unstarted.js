/** Says so where page.js does not run: nothing else of the page would. */
addEventListener("load", () => {
  if (document.body.dataset.started) return;
  const reason =
    location.protocol === "file:"
      ? "This page does not run from the file system: open it from a web host, or by `waveunet serve-web`."
      : "The page’s script cannot be loaded: load the page again, or use a newer browser.";
  const notice = document.createElement("p");
  notice.className = "notice";
  notice.setAttribute("role", "alert");
  notice.textContent = reason;
  find("#notices").append(notice);
});
