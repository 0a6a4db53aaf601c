DROP TABLE publish.layout;
DELETE FROM store.cursors WHERE name = 'journal/layout';
