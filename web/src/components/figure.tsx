// A number that is read from afar, and what it counts.
export const Figure = ({ name, value }: { name: string; value?: string | number }) => (
  <div>
    <div className="stat">{value === undefined || value === '' ? '–' : value}</div>
    <div className="muted tiny">{name}</div>
  </div>
);
