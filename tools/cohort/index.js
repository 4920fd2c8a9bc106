"use strict";
(() => {
  const articles = [...document.querySelectorAll("article")];
  const place = `ratings of ${location.pathname}`;
  const ratings = read();

  // A page that is opened as a file may have no storage: ratings then last as long as the page.
  function read() {
    try { return JSON.parse(localStorage.getItem(place)) || {}; } catch { return {}; }
  }

  function keep() {
    try { localStorage.setItem(place, JSON.stringify(ratings)); } catch { /* see above */ }
    const count = Object.values(ratings).filter((entry) => entry.rating).length;
    document.getElementById("rated").textContent = `${count} of ${articles.length} rated`;
  }

  function rate(article, change) {
    const name = article.dataset.name;
    ratings[name] = { rating: "", note: "", ...ratings[name], ...change };
    for (const choice of article.querySelectorAll("input[type=radio]")) choice.checked = choice.value === ratings[name].rating;
    keep();
  }

  function filter() {
    const grade = document.getElementById("grade").value;
    const words = document.getElementById("search").value.toLowerCase();
    for (const article of articles) {
      const { name } = article.dataset;
      const fits = grade === "unrated" ? !ratings[name]?.rating : !grade || article.dataset.grade === grade;
      article.hidden = !fits || !name.toLowerCase().includes(words);
    }
  }

  function table() {
    const clean = (text) => String(text ?? "").replace(/[\t\r\n]+/g, " ");
    const rows = articles.map(({ dataset }) => [dataset.name, dataset.grade, ratings[dataset.name]?.rating, ratings[dataset.name]?.note]);
    return [["pair", "grade", "rating", "note"], ...rows].map((row) => row.map(clean).join("\t")).join("\n") + "\n";
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([table()], { type: "text/tab-separated-values" }));
    link.download = "ratings.tsv";
    link.click();
    URL.revokeObjectURL(link.href);
  }

  const keys = { 0: "", 1: "good", 2: "fair", 3: "bad" };
  for (const article of articles) {
    const note = article.querySelector(".note");
    note.value = ratings[article.dataset.name]?.note ?? "";
    note.addEventListener("input", () => rate(article, { note: note.value }));
    article.addEventListener("change", (event) => {
      if (event.target.type === "radio") rate(article, { rating: event.target.value });
    });
    article.addEventListener("keydown", (event) => {
      if (event.target !== article) return;
      const shown = articles.filter((one) => !one.hidden);
      const steps = { ArrowRight: 1, ArrowLeft: -1 };
      if (event.key in keys) rate(article, { rating: keys[event.key] });
      else if (event.key in steps) shown[shown.indexOf(article) + steps[event.key]]?.focus();
      else return;
      event.preventDefault();
    });
    if (ratings[article.dataset.name]) rate(article, {});
  }
  document.getElementById("grade").addEventListener("change", filter);
  document.getElementById("search").addEventListener("input", filter);
  document.getElementById("save").addEventListener("click", save);
  document.documentElement.classList.add("scripted");
  keep();
})();
