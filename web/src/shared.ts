// A value that one place sets and several parts of the page show.

import { useEffect, useState } from "preact/hooks";

export class Shared<T> {
  private readonly listeners = new Set<(value: T) => void>();

  constructor(private value: T) {}

  get(): T {
    return this.value;
  }

  set(value: T) {
    this.value = value;
    for (const tell of this.listeners) tell(value);
  }

  /** The value, drawn again with each later one. */
  use(): T {
    const [, draw] = useState(this.value);
    useEffect(() => {
      this.listeners.add(draw);
      // Effects run some time after the drawing: nobody told us what was set meanwhile.
      draw(this.value);
      return () => void this.listeners.delete(draw);
    }, []);
    return this.value;
  }
}
