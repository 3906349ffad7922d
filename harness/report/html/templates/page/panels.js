// The panels of the first glance. Of many, only those on the screen are drawn, and drawn again when something changes.
const FEW_PANELS = 12;

class Panels {
  constructor(draw) {
    const all = [...document.querySelectorAll("article.panel")];
    this.draw = draw;
    this.near = new Set(all.length <= FEW_PANELS ? all : []);
    if (this.near.size === all.length) return;
    const observer = new IntersectionObserver((changes) => {
      for (const { target, isIntersecting } of changes) {
        if (!isIntersecting) {
          this.near.delete(target);
          continue;
        }
        this.near.add(target);
        if (this.ready) draw(target);
      }
    }, { rootMargin: "300px" });
    all.forEach((panel) => observer.observe(panel));
  }

  drawAgain() {
    this.ready = true;
    this.near.forEach((panel) => this.draw(panel));
  }
}
