DROP TABLE publish.damages;
